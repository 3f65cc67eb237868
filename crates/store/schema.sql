CREATE TABLE answers (
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    -- The Idempotency-Key.
    key TEXT NOT NULL,
    -- The digest of the request's body, as values.
    body TEXT NOT NULL,
    operation TEXT NOT NULL,
    -- What it was done to, where that has an id.
    target TEXT,
    -- The answer: status, headers and body, without secrets.
    answer TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (user_id, method, path, key)
);

CREATE TABLE audit (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- No references: an entry outlives what it speaks of.
    user_id TEXT,
    user_name TEXT,
    token TEXT,
    address TEXT,
    request TEXT,
    operation TEXT NOT NULL,
    target TEXT,
    outcome TEXT NOT NULL
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE events (
    sequence BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    type TEXT NOT NULL,
    vm TEXT NOT NULL,
    generation BIGINT NOT NULL,
    data TEXT NOT NULL
, audience TEXT);

CREATE TABLE found (
    host TEXT NOT NULL REFERENCES hosts (id),
    vm TEXT NOT NULL,
    seen TEXT NOT NULL,
    body TEXT,
    observed_at BIGINT NOT NULL,
    PRIMARY KEY (host, vm)
);

CREATE TABLE hosts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    -- The installation that the host says it obeys.
    installation TEXT,
    silent SMALLINT NOT NULL,
    first_report_at BIGINT NOT NULL,
    last_report_at BIGINT NOT NULL,
    -- The order of the newest report.
    report_start BIGINT NOT NULL,
    report_number BIGINT NOT NULL,
    -- The newest plan's number, and the digest of the content it stands for.
    plan_number BIGINT NOT NULL,
    plan_content TEXT,
    -- The newest plan that the host accepted, and why it refused a later one.
    accepted_plan BIGINT NOT NULL,
    refused_plan BIGINT,
    refused_code TEXT,
    refused_message TEXT,
    -- What it can hold; absent until it said so.
    cpus BIGINT,
    memory_bytes BIGINT,
    disk_bytes BIGINT,
    images TEXT NOT NULL,
    features TEXT NOT NULL
, booked_cpus BIGINT NOT NULL DEFAULT 0, booked_memory_bytes BIGINT NOT NULL DEFAULT 0, booked_disk_bytes BIGINT NOT NULL DEFAULT 0);

CREATE TABLE members (
    team TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (team, user_id)
);

CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE past_keys (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    -- No reference: they are asked for when the user was just removed.
    user_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (vm, user_id, fingerprint)
);

CREATE TABLE principals (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Of a user: member or admin. A team has none.
    role TEXT,
    disabled SMALLINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE quotas (
    principal TEXT PRIMARY KEY REFERENCES principals (id) ON DELETE CASCADE,
    vms BIGINT,
    cpus BIGINT,
    memory_bytes BIGINT,
    disk_bytes BIGINT,
    running BIGINT
);

CREATE TABLE schema_changes (name TEXT PRIMARY KEY, position BIGINT NOT NULL);

CREATE TABLE secrets (
    id TEXT PRIMARY KEY,
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    -- Rises when the content is replaced; the one before is gone then.
    version BIGINT NOT NULL,
    -- The user who presented them.
    presented_by TEXT NOT NULL,
    data TEXT NOT NULL
);

CREATE TABLE seen (
    vm TEXT PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    seen TEXT NOT NULL,
    observed_at BIGINT NOT NULL
, placement BIGINT NOT NULL DEFAULT 0, accepted BIGINT NOT NULL DEFAULT 0);

CREATE TABLE shares (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    principal TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    access TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (vm, principal)
);

CREATE TABLE sign_in_codes (
    digest TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    -- What the token is good for, and until when, that is made with it. NULL: whatever the user may, as long as usual.
    scopes TEXT,
    token_expires_at BIGINT
);

CREATE TABLE ssh_keys (
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    line TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, fingerprint)
);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
, user_id TEXT REFERENCES principals (id) ON DELETE CASCADE, scopes TEXT NOT NULL
    DEFAULT '["vm:read","vm:use","vm:write","account:read","account:write","admin"]', expires_at BIGINT, last_used_at BIGINT);

CREATE TABLE vm_labels (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (vm, name)
);

CREATE TABLE vms (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL REFERENCES hosts (id),
    placement BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    remove SMALLINT NOT NULL,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    cpus BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    disk_bytes BIGINT NOT NULL,
    power TEXT NOT NULL,
    boot BIGINT NOT NULL,
    rootfs BIGINT NOT NULL,
    authorized_keys TEXT NOT NULL,
    needs TEXT NOT NULL,
    created_at BIGINT NOT NULL
, options TEXT NOT NULL DEFAULT '{}', registry_secret TEXT, owner TEXT REFERENCES principals (id), own_keys TEXT NOT NULL DEFAULT '[]', account_keys SMALLINT NOT NULL DEFAULT 1, barred TEXT NOT NULL DEFAULT '[]', idle_after BIGINT, labels TEXT NOT NULL DEFAULT '{}', ttl BIGINT, expires_at BIGINT, grace BIGINT NOT NULL DEFAULT 259200, stopped_at BIGINT, warned SMALLINT NOT NULL DEFAULT 0, lease BIGINT, request TEXT);

CREATE INDEX answers_by_time ON answers (at);

CREATE INDEX audit_by_user ON audit (user_id, sequence);

CREATE INDEX events_by_vm ON events (vm, sequence);

CREATE INDEX members_by_user ON members (user_id);

CREATE INDEX past_keys_by_user ON past_keys (user_id, vm);

CREATE INDEX secrets_by_vm ON secrets (vm);

CREATE INDEX seen_by_vm ON seen (vm, placement, accepted);

CREATE INDEX shares_by_principal ON shares (principal);

CREATE INDEX vms_by_expiry ON vms (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX vms_by_host ON vms (host, id, placement, generation, remove);

CREATE INDEX vms_by_lease ON vms (lease) WHERE lease IS NOT NULL;

CREATE INDEX vms_by_name ON vms (name, id);

CREATE INDEX vms_by_owner_and_any_name ON vms (owner, name, id);

CREATE UNIQUE INDEX vms_by_owner_and_name ON vms (owner, name) WHERE remove = 0;

CREATE INDEX vms_by_owner_and_time ON vms (owner, created_at, id);

CREATE INDEX vms_by_time ON vms (created_at, id);

