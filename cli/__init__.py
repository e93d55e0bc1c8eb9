"""The command line. Modules here import pipelines, and with them lance and torch, only inside the commands."""
