"""Reports that processors make of enclaves and of trust domains, as they stand in quotes.

Intel Software Developer's Manual, volume 3D, section 39.15 (REPORT); Intel TDX DCAP Quoting Library API,
A.3.2 (TD report 1.0) and A.4.2 (TD report 1.5); Intel TDX module 1.5 ABI specification, TD_INFO and
TEE_TCB_INFO.
"""

from __future__ import annotations

from dataclasses import dataclass

from hanse.attestation.reading import Reader


@dataclass(frozen=True, slots=True)
class EnclaveReport:
    """Report of a processor about an enclave; bytes as they stand there.

    Attributes:
        cpu_svn: SVN of the processor, 16 bytes.
        misc_select: Extended features, 4 bytes.
        cet_attributes: Attributes of control-flow enforcement, 1 byte.
        ext_product: ISVEXTPRODID, 16 bytes.
        attributes: 16 bytes: flags, then XFRM.
        mrenclave: Measurement of the code, 32 bytes.
        mrsigner: Digest of the signing key, 32 bytes.
        config_id: Given at the start by the host, 64 bytes.
        product: ISVPRODID.
        svn: ISVSVN.
        config_svn: Given at the start by the host.
        family: ISVFAMILYID, 16 bytes.
        report_data: What the enclave states, 64 bytes.
    """

    cpu_svn: bytes
    misc_select: bytes
    cet_attributes: bytes
    ext_product: bytes
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    config_id: bytes
    product: int
    svn: int
    config_svn: int
    family: bytes
    report_data: bytes


@dataclass(frozen=True, slots=True)
class TdReport:
    """Report of the TDX module about a trust domain; bytes as they stand there.

    Attributes:
        tee_tcb_svn: SVNs of the TDX components at the launch, 16 bytes: of the module first (minor, major).
        mrseam: Measurement of the TDX module, 48 bytes.
        mrsignerseam: Its signer; zero for Intel's.
        seam_attributes: 8 bytes.
        attributes: TDATTRIBUTES, 8 bytes.
        xfam: Extended features that the domain may use, 8 bytes.
        mrtd: Measurement of what the domain started with, 48 bytes.
        mrconfigid, mrowner, mrownerconfig: Given at the start by the host, 48 bytes each.
        rtmrs: Runtime measurement registers 0 to 3, 48 bytes each.
        report_data: What the domain states, 64 bytes.
        tee_tcb_svn2: SVNs of the components now, 16 bytes; empty in TD reports 1.0.
        mrservicetd: Measurement of bound service domains, 48 bytes; empty in TD reports 1.0.
    """

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seam_attributes: bytes
    attributes: bytes
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmrs: tuple[bytes, ...]
    report_data: bytes
    tee_tcb_svn2: bytes = b""
    mrservicetd: bytes = b""


def read_enclave_report(data: bytes, what: str) -> EnclaveReport:
    """Read the body of an enclave report, 384 bytes.

    Raises:
        EvidenceError: It has another size, or reserved fields are not zero.
    """
    reader = Reader(data, what)
    cpu_svn, misc_select = reader.take(16, "CPUSVN"), reader.take(4, "MISCSELECT")
    cet_attributes = reader.take(1, "CET_ATTRIBUTES")
    reader.zeros(11, "first reserved field")
    ext_product, attributes = reader.take(16, "ISVEXTPRODID"), reader.take(16, "ATTRIBUTES")
    mrenclave = reader.take(32, "MRENCLAVE")
    reader.zeros(32, "second reserved field")
    mrsigner = reader.take(32, "MRSIGNER")
    reader.zeros(32, "third reserved field")
    config_id = reader.take(64, "CONFIGID")
    product, svn = reader.little(2, "ISVPRODID"), reader.little(2, "ISVSVN")
    config_svn = reader.little(2, "CONFIGSVN")
    reader.zeros(42, "fourth reserved field")
    family, report_data = reader.take(16, "ISVFAMILYID"), reader.take(64, "REPORTDATA")
    reader.end(b"")
    return EnclaveReport(
        cpu_svn=cpu_svn,
        misc_select=misc_select,
        cet_attributes=cet_attributes,
        ext_product=ext_product,
        attributes=attributes,
        mrenclave=mrenclave,
        mrsigner=mrsigner,
        config_id=config_id,
        product=product,
        svn=svn,
        config_svn=config_svn,
        family=family,
        report_data=report_data,
    )


def read_td_report(data: bytes, what: str) -> TdReport:
    """Read a TD report 1.0, 584 bytes, or 1.5, 648 bytes.

    Raises:
        EvidenceError: It has another size.
    """
    reader = Reader(data, what)
    tee_tcb_svn, mrseam = reader.take(16, "TEE_TCB_SVN"), reader.take(48, "MRSEAM")
    mrsignerseam, seam_attributes = reader.take(48, "MRSIGNERSEAM"), reader.take(8, "SEAMATTRIBUTES")
    attributes, xfam = reader.take(8, "TDATTRIBUTES"), reader.take(8, "XFAM")
    mrtd, mrconfigid = reader.take(48, "MRTD"), reader.take(48, "MRCONFIGID")
    mrowner, mrownerconfig = reader.take(48, "MROWNER"), reader.take(48, "MROWNERCONFIG")
    rtmrs = tuple(reader.take(48, f"RTMR{n}") for n in range(4))
    report_data = reader.take(64, "REPORTDATA")
    later = bool(reader.left)
    tee_tcb_svn2 = reader.take(16, "TEE_TCB_SVN_2") if later else b""
    mrservicetd = reader.take(48, "MRSERVICETD") if later else b""
    reader.end(b"")
    return TdReport(
        tee_tcb_svn=tee_tcb_svn,
        mrseam=mrseam,
        mrsignerseam=mrsignerseam,
        seam_attributes=seam_attributes,
        attributes=attributes,
        xfam=xfam,
        mrtd=mrtd,
        mrconfigid=mrconfigid,
        mrowner=mrowner,
        mrownerconfig=mrownerconfig,
        rtmrs=rtmrs,
        report_data=report_data,
        tee_tcb_svn2=tee_tcb_svn2,
        mrservicetd=mrservicetd,
    )
