"""The dev mailbox's other side: mails as the people would write them who got ours."""
