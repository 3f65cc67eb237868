-- Users and teams, in one name space; what they own and share; what they did.
CREATE TABLE principals (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Of a user: member or admin. A team has none.
    role TEXT,
    disabled SMALLINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    team TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (team, user_id)
);

CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE ssh_keys (
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    fingerprint TEXT NOT NULL,
    line TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, fingerprint)
);

-- Keys that a VM accepted since its last boot and accepts no more, whose sessions stayed open.
CREATE TABLE past_keys (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    -- No reference: they are asked for when the user was just removed.
    user_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    PRIMARY KEY (vm, user_id, fingerprint)
);

CREATE INDEX past_keys_by_user ON past_keys (user_id, vm);

CREATE TABLE shares (
    vm TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    principal TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    access TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (vm, principal)
);

CREATE INDEX shares_by_principal ON shares (principal);

-- One-time codes: what a new user signs in with the first time.
CREATE TABLE sign_in_codes (
    digest TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    -- What the token is good for, and until when, that is made with it. NULL: whatever the user may, as long as usual.
    scopes TEXT,
    token_expires_at BIGINT
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

CREATE INDEX audit_by_user ON audit (user_id, sequence);

ALTER TABLE tokens ADD COLUMN user_id TEXT REFERENCES principals (id) ON DELETE CASCADE;
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL
    DEFAULT '["vm:read","vm:use","vm:write","account:read","account:write","admin"]';
ALTER TABLE tokens ADD COLUMN expires_at BIGINT;
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT;

-- The token in the local admin's file: so far every one was.
INSERT INTO meta (name, value) SELECT 'admin_token', id FROM tokens ORDER BY created_at DESC, id DESC LIMIT 1;

-- The first start after this change gives what has no owner to the local admin.
ALTER TABLE vms ADD COLUMN owner TEXT REFERENCES principals (id);
-- The keys of this VM alone; authorized_keys are these and those of its people.
ALTER TABLE vms ADD COLUMN own_keys TEXT NOT NULL DEFAULT '[]';
ALTER TABLE vms ADD COLUMN account_keys SMALLINT NOT NULL DEFAULT 1;
UPDATE vms SET own_keys = authorized_keys;
ALTER TABLE vms ADD COLUMN barred TEXT NOT NULL DEFAULT '[]';
-- Seconds.
ALTER TABLE vms ADD COLUMN idle_after BIGINT;

DROP INDEX vms_by_name;
CREATE UNIQUE INDEX vms_by_owner_and_name ON vms (owner, name) WHERE remove = 0;
CREATE INDEX vms_by_name ON vms (name);

-- Limits of one user or team, in the place of the installation's. NULL: the installation's holds.
CREATE TABLE quotas (
    principal TEXT PRIMARY KEY REFERENCES principals (id) ON DELETE CASCADE,
    vms BIGINT,
    cpus BIGINT,
    memory_bytes BIGINT,
    disk_bytes BIGINT,
    running BIGINT
);
