"""How people are written to: one port, an adapter for SMTP, and the mailbox of development."""
