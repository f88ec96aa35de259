"""The comparison with HAProxy and nginx; see run.py."""
