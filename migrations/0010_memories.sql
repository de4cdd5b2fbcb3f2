-- What agents asked to remember. It is made by their calls and not from the record: making other tables again keeps it.
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
