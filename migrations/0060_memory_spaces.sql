-- Vectors of several models stand side by side: with each its length too, since only those of one model and length can
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
