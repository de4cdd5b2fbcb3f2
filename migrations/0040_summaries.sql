-- What stands for the beginning of a conversation that is too long to be told word for word: made once, by a run that
-- needed it, out of what was said and the summary before. Made of the record, where its entry is of the kind `summary`.
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
