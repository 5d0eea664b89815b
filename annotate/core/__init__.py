"""What every room stands on: access, security, audit, files, environment, outgoing requests."""
