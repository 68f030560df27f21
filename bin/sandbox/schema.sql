-- The part of the ledger that the job works on, with the names, defaults, constraints and indexes of production.

CREATE TABLE kilocode_users (
  id text NOT NULL,
  google_user_email text NOT NULL,
  google_user_name text NOT NULL,
  google_user_image_url text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  stripe_customer_id text NOT NULL,
  microdollars_used bigint NOT NULL DEFAULT 0,
  total_microdollars_acquired bigint NOT NULL DEFAULT 0,
  next_credit_expiration_at timestamptz,
  auto_top_up_enabled boolean NOT NULL DEFAULT false,
  is_admin boolean NOT NULL DEFAULT false,
  is_bot boolean NOT NULL DEFAULT false,
  email_domain text,
  blocked_reason text,
  CONSTRAINT kilocode_users_pkey PRIMARY KEY (id),
  CONSTRAINT "UQ_b1afacbcf43f2c7c4cb9f7e7faa" UNIQUE (google_user_email),
  CONSTRAINT blocked_reason_not_empty CHECK (length(blocked_reason) > 0)
);

CREATE TABLE credit_transactions (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  kilo_user_id text NOT NULL,
  amount_microdollars bigint NOT NULL,
  expiration_baseline_microdollars_used bigint,
  original_baseline_microdollars_used bigint,
  is_free boolean NOT NULL,
  description text,
  original_transaction_id uuid,
  stripe_payment_id text,
  coinbase_credit_block_id text,
  credit_category text,
  expiry_date timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  organization_id uuid,
  check_category_uniqueness boolean NOT NULL DEFAULT false,
  created_by_kilo_user_id text,
  CONSTRAINT credit_transactions_pkey PRIMARY KEY (id),
  CONSTRAINT credit_transactions_created_by_kilo_user_id_kilocode_users_id_f
    FOREIGN KEY (created_by_kilo_user_id) REFERENCES kilocode_users (id)
);

CREATE INDEX "IDX_credit_transactions_created_at" ON credit_transactions (created_at);
CREATE INDEX "IDX_credit_transactions_is_free" ON credit_transactions (is_free);
CREATE INDEX "IDX_credit_transactions_kilo_user_id" ON credit_transactions (kilo_user_id);
CREATE INDEX "IDX_credit_transactions_credit_category" ON credit_transactions (credit_category);
CREATE INDEX "IDX_credit_transactions_organization_id" ON credit_transactions (organization_id);
CREATE UNIQUE INDEX "IDX_credit_transactions_original_transaction_id" ON credit_transactions (original_transaction_id);
CREATE UNIQUE INDEX "IDX_credit_transactions_stripe_payment_id" ON credit_transactions (stripe_payment_id);
CREATE UNIQUE INDEX "IDX_credit_transactions_coinbase_credit_block_id" ON credit_transactions (coinbase_credit_block_id);
CREATE UNIQUE INDEX "IDX_credit_transactions_unique_category" ON credit_transactions (kilo_user_id, credit_category)
  WHERE check_category_uniqueness = true;

-- The tables that refer to credit_transactions, cut down to what a rollback meets: one foreign key of each kind.

CREATE TABLE kilo_pass_issuance_items (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  kilo_pass_issuance_id uuid NOT NULL DEFAULT gen_random_uuid(),
  kind text NOT NULL,
  credit_transaction_id uuid NOT NULL,
  amount_usd numeric(12, 2) NOT NULL,
  bonus_percent_applied numeric(6, 4),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT kilo_pass_issuance_items_pkey PRIMARY KEY (id),
  CONSTRAINT kilo_pass_issuance_items_credit_transaction_id_unique UNIQUE (credit_transaction_id),
  CONSTRAINT kilo_pass_issuance_items_amount_usd_check CHECK (amount_usd >= 0),
  CONSTRAINT kilo_pass_issuance_items_credit_transaction_id_fk
    FOREIGN KEY (credit_transaction_id) REFERENCES credit_transactions (id) ON DELETE RESTRICT ON UPDATE CASCADE
);

CREATE TABLE coding_plan_terms (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  kilo_user_id text NOT NULL,
  plan text NOT NULL,
  credit_transaction_id uuid,
  starts_at timestamptz NOT NULL DEFAULT now(),
  ends_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT coding_plan_terms_pkey PRIMARY KEY (id),
  CONSTRAINT coding_plan_terms_period_check CHECK (ends_at > starts_at),
  CONSTRAINT coding_plan_terms_credit_transaction_id_fk
    FOREIGN KEY (credit_transaction_id) REFERENCES credit_transactions (id)
);

CREATE INDEX "IDX_coding_plan_terms_kilo_user_id" ON coding_plan_terms (kilo_user_id);

CREATE TABLE kilo_pass_audit_log (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  kilo_user_id text,
  action text NOT NULL,
  result text NOT NULL,
  related_credit_transaction_id uuid,
  payload_json jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT kilo_pass_audit_log_pkey PRIMARY KEY (id),
  CONSTRAINT kilo_pass_audit_log_kilo_user_id_fk
    FOREIGN KEY (kilo_user_id) REFERENCES kilocode_users (id) ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT kilo_pass_audit_log_related_credit_transaction_id_fk
    FOREIGN KEY (related_credit_transaction_id) REFERENCES credit_transactions (id) ON DELETE SET NULL ON UPDATE CASCADE
);

CREATE INDEX "IDX_kilo_pass_audit_log_kilo_user_id" ON kilo_pass_audit_log (kilo_user_id);
CREATE INDEX "IDX_kilo_pass_audit_log_related_credit_transaction_id"
  ON kilo_pass_audit_log (related_credit_transaction_id);
