-- A bus that lost its store comes back with streams that begin again at 1. Each life of a stream is an epoch, counted in
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
