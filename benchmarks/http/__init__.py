"""Ours as a server: where its processor time goes, beside other servers, with shadow comparisons, and overloaded."""
