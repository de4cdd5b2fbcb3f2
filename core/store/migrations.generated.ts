// Generated from migrations/*.sql by `make manifests`; do not edit.
export interface Migration {
  name: string
  statements: string
}

/** In the order in which they are applied. */
export const migrations: readonly Migration[] = [
  {
    name: '0001_record',
    statements: `-- The record of every run, as the bus held it: one row an entry. All other tables of this file are made from these rows
-- and can be made again. \`body\` is json and not jsonb, because what an agent read may hold a NUL, which jsonb refuses.
create table record (
  run text not null,
  stream text not null,
  sequence bigint not null,
  namespace text not null,
  instance text not null,
  kind text not null,
  at timestamptz not null,
  body json not null,
  primary key (run, stream, sequence)
);
create index record_in_order on record (stream, sequence);

-- How far the bus has been read, written in the transaction that wrote what was read. A stream that was made anew, which
-- \`created\` tells, is read from its beginning.
create table cursors (
  stream text primary key,
  created text not null,
  sequence bigint not null
);

-- Entries that could not be read: set aside with the reason, so that one of them does not hold up all that follow.
create table set_aside (
  stream text not null,
  created text not null,
  sequence bigint not null,
  subject text not null,
  reason text not null,
  body bytea not null,
  at timestamptz not null,
  primary key (stream, created, sequence)
);

-- A conversation: the runs of one instance that bear the same key.
create table sessions (
  id text primary key,
  namespace text not null,
  instance text not null,
  key text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (namespace, instance, key)
);

create table runs (
  uid text primary key,
  namespace text not null,
  instance text not null,
  name text not null,
  agent text not null,
  session_id text references sessions (id) on delete cascade,
  policy text not null,
  provider text not null,
  model text not null,
  task text not null,
  started_at timestamptz not null,
  phase text not null,
  reason text,
  result text,
  error text,
  ended_at timestamptz,
  model_calls integer not null default 0,
  tool_calls integer not null default 0
);
create index runs_of_instance on runs (namespace, instance, started_at desc, uid);
create index runs_of_session on runs (session_id);

-- What was said in a conversation, in the order in which the bus took it.
create table messages (
  session_id text not null references sessions (id) on delete cascade,
  sequence bigint not null,
  run text not null,
  namespace text not null,
  instance text not null,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  at timestamptz not null,
  primary key (run, sequence)
);
create index messages_of_session on messages (session_id, at, sequence);

-- One row a model call, as the gateway metered it. It outlives the conversation: it holds numbers and no text.
create table usage (
  run text not null,
  sequence bigint not null,
  namespace text not null,
  instance text not null,
  agent text,
  session_id text,
  policy text,
  provider text not null,
  model text not null,
  at timestamptz not null,
  input_tokens bigint,
  output_tokens bigint,
  primary key (run, sequence)
);
create index usage_by_day on usage (namespace, at);
`,
  },
  {
    name: '0002_session_marks',
    statements: `-- What people decided about a conversation. It is made from nothing else, so making the other tables again keeps it.
-- Times, not sequences: they hold across a stream that was made anew.
create table session_marks (
  namespace text not null,
  instance text not null,
  key text not null,
  -- Nothing that was said up to then is told to a run any more.
  reset_at timestamptz,
  -- Nothing that was said up to then exists any more; runs that began up to then leave no rows.
  deleted_at timestamptz,
  primary key (namespace, instance, key)
);
`,
  },
  {
    name: '0010_memories',
    statements: `-- What agents asked to remember. It is made by their calls and not from the record: making other tables again keeps it.
-- Vectors are a column that is added where the server has pgvector, and can be made again from the content.
create table memories (
  -- The hash of whose it is and of what it says: stored twice, it is one row.
  id text primary key,
  namespace text not null,
  instance text not null,
  scope text not null check (scope in ('session', 'user', 'instance')),
  -- Within scope: the id of the session, the name of the user, nothing for the instance.
  owner text not null,
  content text not null,
  -- Where it came from: the call that stored it first.
  run text not null,
  attempt integer not null,
  call text not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  -- The model that made the vector; a search compares those of one model only.
  embedding_model text,
  words tsvector not null generated always as (to_tsvector('english', content)) stored
);
create index memories_by_owner on memories (namespace, instance, scope, owner);
create index memories_by_words on memories using gin (words);
create index memories_by_expiry on memories (expires_at) where expires_at is not null;
`,
  },
  {
    name: '0030_epochs',
    statements: `-- A bus that lost its store comes back with streams that begin again at 1. Each life of a stream is an epoch, counted in
-- the order in which it was met, so that entries of two lives are never taken for one another, and so that what was said
-- is in order by (epoch, sequence), whatever any clock did.
alter table cursors add column epoch integer not null default 1;
alter table cursors drop constraint cursors_pkey, add primary key (stream, created);

alter table record add column epoch integer not null default 1;
alter table record drop constraint record_pkey, add primary key (run, stream, epoch, sequence);
drop index record_in_order;
create index record_in_order on record (stream, epoch, sequence);

alter table messages add column epoch integer not null default 1;
alter table messages drop constraint messages_pkey, add primary key (run, epoch, sequence);
drop index messages_of_session;
create index messages_of_session on messages (session_id, epoch, sequence);

alter table usage add column epoch integer not null default 1;
alter table usage drop constraint usage_pkey, add primary key (run, epoch, sequence);
`,
  },
  {
    name: '0031_forgotten',
    statements: `-- Runs of which nothing but numbers is kept: what they still write, or what is read of them again, is left out.
create table forgotten (
  run text primary key,
  at timestamptz not null
);
`,
  },
  {
    name: '0032_forks',
    statements: `-- A conversation that begins with a copy of another one. People decide it, so like marks it is made from nothing else: it
-- stays when the other conversation is deleted, and when the other tables are made again.
create table forks (
  session_id text primary key,
  namespace text not null,
  instance text not null,
  key text not null,
  -- The conversation that was copied.
  origin text not null,
  at timestamptz not null
);
create table fork_messages (
  session_id text not null references forks (session_id) on delete cascade,
  position integer not null,
  run text not null,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  at timestamptz not null,
  primary key (session_id, position)
);
`,
  },
  {
    name: '0040_summaries',
    statements: `-- What stands for the beginning of a conversation that is too long to be told word for word: made once, by a run that
-- needed it, out of what was said and the summary before. Made of the record, where its entry is of the kind \`summary\`.
create table session_summaries (
  session_id text not null references sessions (id) on delete cascade,
  epoch integer not null,
  sequence bigint not null,
  namespace text not null,
  instance text not null,
  -- The run whose model made it.
  run text not null,
  -- The run of the last turn that is in it.
  through text not null,
  -- How many messages it was made of, the summary before not counted.
  messages integer not null,
  -- Whether something older was too much even for that, and is in no summary.
  partial boolean not null,
  content text not null,
  at timestamptz not null,
  primary key (run, epoch, sequence)
);
create index summaries_of_session on session_summaries (session_id, epoch, sequence);

-- What the run was answered with: a call that was refused or that failed used nothing, and is no call of which nobody
-- knows what it used. Rows of before have none.
alter table usage add column status integer;
`,
  },
  {
    name: '0050_memory_care',
    statements: `-- Memories that were deleted: a call from before then, which a replica performs again, does not bring them back. Kept as
-- long as that could happen.
create table forgotten_memories (
  id text primary key,
  at timestamptz not null
);
create index forgotten_memories_by_age on forgotten_memories (at);
-- What people look at: those of a namespace, the newest first.
create index memories_in_order on memories (namespace, created_at, id);
`,
  },
  {
    name: '0060_memory_spaces',
    statements: `-- Vectors of several models stand side by side: with each its length too, since only those of one model and length can
-- be compared, and the index is by length.
alter table memories add column embedding_dimensions integer;
-- Which models make vectors of which length: without it the planner takes both for independent, and what is there for less.
create statistics memories_spaces (dependencies, mcv) on embedding_model, embedding_dimensions from memories;
-- Where a server has pgvector the vectors are there already, and say themselves how long they are.
do $$
begin
  if exists (select from information_schema.columns
    where table_schema = current_schema() and table_name = 'memories' and column_name = 'embedding') then
    execute 'update memories set embedding_dimensions = vector_dims(embedding) where embedding is not null';
  end if;
end
$$;
-- Instances whose memories are compared by a model of their own provider, as their last run that used them was told.
create table memory_spaces (
  namespace text not null,
  instance text not null,
  -- Null where that is the model of the platform again.
  model text,
  dimensions integer,
  -- When that run began: one that began earlier changes nothing.
  since timestamptz not null,
  primary key (namespace, instance)
);
`,
  },
]
