-- Memories that were deleted: a call from before then, which a replica performs again, does not bring them back. Kept as
-- long as that could happen.
create table forgotten_memories (
  id text primary key,
  at timestamptz not null
);
create index forgotten_memories_by_age on forgotten_memories (at);
-- What people look at: those of a namespace, the newest first.
create index memories_in_order on memories (namespace, created_at, id);
