from tests.unit.joined_sites import join

__all__ = ["join"]
