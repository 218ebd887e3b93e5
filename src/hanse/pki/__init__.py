"""Who is who: authority, enrolment, credentials, signatures."""
