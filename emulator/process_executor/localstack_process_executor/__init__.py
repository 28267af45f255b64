"""Run LocalStack's Lambda functions as local processes under AWS's own runtime client, without Docker."""
