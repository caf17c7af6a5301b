#!/bin/sh
# Makes Temporal's two databases, or brings them to this version. Harmless when they are.
set -eu
for database in temporal:temporal temporal_visibility:visibility; do
  name=${database%:*} schema=/etc/temporal/schema/postgresql/v12/${database#*:}/versioned
  temporal-sql-tool --database "$name" create-database
  # Begins the schema's table of versions where it isn't there.
  temporal-sql-tool --database "$name" setup-schema --version 0.0
  temporal-sql-tool --database "$name" update-schema --schema-dir "$schema"
done
