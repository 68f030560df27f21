-- Two users for this job, with no right that it does not need. Run it as the owner of the tables, who must be allowed
-- to create roles (a superuser, or CREATEROLE), once per database; in a second database of the same server, leave
-- CREATE ROLE out. Then give each user a password (in psql: \password <name>).
-- Where the tables are not in the schema public, run it with that schema in your search_path, and besides:
-- GRANT USAGE ON SCHEMA <schema> TO <user>; and put ?search_path=<schema> at the end of the job's database URLs.
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
