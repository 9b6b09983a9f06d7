"""One module a package: its models, each described in a few lines. Nothing else imports what others publish."""
