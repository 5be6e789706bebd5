-- The one file of the agent. One writer (database.py); every table STRICT: a topic "007" stays text.
-- The number of this schema is PRAGMA user_version; a newer one is refused, never guessed at.

CREATE TABLE meta (
    name TEXT PRIMARY KEY,                  -- epoch, connection
    value TEXT NOT NULL
) STRICT;

CREATE TABLE boots (                        -- whose steady clock a row was stamped with
    id INTEGER PRIMARY KEY,
    boot TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE streams (                      -- one per room, one for the agent itself
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,              -- rooms/fjord, agents/a1
    next_number INTEGER NOT NULL DEFAULT 1, -- gapless within the epoch
    settled_place INTEGER NOT NULL DEFAULT 0 -- acknowledged up to here: order is kept, so one mark is enough
) STRICT;

CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT, -- order of acceptance over all streams and epochs, never used twice
    stream INTEGER NOT NULL REFERENCES streams (id),
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,                     -- noun.past: what may be dropped first when space runs out
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,                  -- sealed once: every retry sends these bytes
    bytes INTEGER NOT NULL,                 -- of topic and payload
    recorded_ms INTEGER NOT NULL,           -- wall clock, since 1970
    boot INTEGER NOT NULL REFERENCES boots (id),
    steady_ms INTEGER NOT NULL,             -- since that boot, also while suspended
    crc INTEGER NOT NULL                    -- of id, topic and payload: SQLite itself notices no rotten bit in these
) STRICT;

CREATE INDEX outbox_by_stream ON outbox (stream, place, bytes); -- counting and finding read nothing else

CREATE TABLE dead_letters (                 -- no broker will ever take these; kept for a person
    place INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    code INTEGER NOT NULL,                  -- the broker's reason code
    buried_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE gaps (                         -- what was dropped, and where the cloud is told so
    id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    epoch TEXT NOT NULL,
    first_number INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    dropped INTEGER NOT NULL,               -- fewer than the span is long if others in it were kept
    reason TEXT NOT NULL,
    from_place INTEGER NOT NULL,            -- nothing of the stream behind this place leaves before the record
    told_stream TEXT,                       -- the record's own stream and place; null: no record (one of its own kind)
    told_place INTEGER,
    recorded_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE snapshot (
    room TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE inbox (                        -- commands, from before their PUBACK until they cannot come again
    place INTEGER PRIMARY KEY,              -- order of arrival
    command TEXT NOT NULL UNIQUE,           -- command_id
    digest BLOB NOT NULL,                   -- of what it asks and of whom: the same id must ask the same
    topic TEXT NOT NULL,
    request BLOB,                           -- as it came; forgotten with the final answer
    state TEXT NOT NULL,                    -- kept, begun, answered
    stream TEXT NOT NULL,                   -- of its answers
    answer_topic TEXT NOT NULL,
    correlation BLOB,
    answer_expiry_s INTEGER NOT NULL,
    answer BLOB,                            -- the last that was given
    received_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX inbox_unfinished ON inbox (place) WHERE state <> 'answered';

CREATE TABLE postage (                      -- what goes along with an answer in the outbox, with MQTT 5
    place INTEGER PRIMARY KEY,              -- in the outbox
    correlation BLOB,
    expiry_s INTEGER
) STRICT;

CREATE TABLE replays (                      -- acknowledged events that are sent again because somebody asked
    place INTEGER PRIMARY KEY,              -- the order in which they were asked for
    command TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL,
    epoch TEXT NOT NULL,
    first_number INTEGER NOT NULL,
    last_number INTEGER NOT NULL,
    after_place INTEGER NOT NULL,           -- in the outbox: what is left lies behind this
    until_place INTEGER NOT NULL,           -- and up to here
    sent INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL             -- what has not begun by then is wanted no more
) STRICT;

CREATE TABLE calendar_revocations (         -- integrations that are off until an administrator consents again
    service TEXT PRIMARY KEY,
    why TEXT NOT NULL,                      -- in words
    access BLOB NOT NULL,                   -- digest of the credential and settings that were refused
    revoked_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE calendar_watches (             -- subscriptions and channels that a cloud tells us of changes by
    id TEXT PRIMARY KEY,
    service TEXT NOT NULL,
    address TEXT NOT NULL,                  -- of the room's calendar
    body BLOB NOT NULL
) STRICT;

CREATE TABLE calendar_links (               -- found by name: which calendar is which room's
    service TEXT NOT NULL,
    room TEXT NOT NULL,
    address TEXT NOT NULL,
    directory TEXT NOT NULL,                -- whose list of rooms it was found in
    PRIMARY KEY (service, room)
) STRICT;
