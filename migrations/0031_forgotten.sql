-- Runs of which nothing but numbers is kept: what they still write, or what is read of them again, is left out.
create table forgotten (
  run text primary key,
  at timestamptz not null
);
