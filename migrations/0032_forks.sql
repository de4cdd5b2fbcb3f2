-- A conversation that begins with a copy of another one. People decide it, so like marks it is made from nothing else: it
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
