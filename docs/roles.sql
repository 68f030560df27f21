-- Two users for this job, with no right that it does not need. Run it once per database, as the owner of the tables,
-- with the schema of the tables in the search_path; then give each user a password (in psql: \password <name>).
-- If more tables have a foreign key to credit_transactions, add them to the two statements that begin with
-- "GRANT SELECT": before a rollback deletes a row, it looks for rows that refer to it.

-- For READONLY_DATABASE_URL: dry runs, previews and reports. It can only read.
CREATE ROLE credit_expiry_dry_run LOGIN;
GRANT SELECT ON kilocode_users, credit_transactions,
    kilo_pass_issuance_items, coding_plan_terms, kilo_pass_audit_log
  TO credit_expiry_dry_run;

-- For DATABASE_URL: execute and rollback. DELETE is for rollback alone; leave it out to forbid rollbacks.
CREATE ROLE credit_expiry_execute LOGIN;
GRANT SELECT ON kilocode_users, credit_transactions,
    kilo_pass_issuance_items, coding_plan_terms, kilo_pass_audit_log
  TO credit_expiry_execute;
GRANT UPDATE (total_microdollars_acquired, next_credit_expiration_at, updated_at) ON kilocode_users
  TO credit_expiry_execute;
GRANT UPDATE (expiry_date, expiration_baseline_microdollars_used) ON credit_transactions
  TO credit_expiry_execute;
GRANT INSERT, DELETE ON credit_transactions TO credit_expiry_execute;
