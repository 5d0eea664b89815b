"""What every room stands on: access, security, audit, files, charts, environment, outgoing requests."""
