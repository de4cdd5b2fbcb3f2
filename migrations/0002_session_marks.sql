-- What people decided about a conversation. It is made from nothing else, so making the other tables again keeps it.
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
