-- A schema whose dump needs every rule of the scanner.
create schema shop;
create table shop.customer (
    id bigint generated always as identity primary key,
    name text not null default ';' check (name <> E'\'; ' and name <> 'C:\'),
    "end;" text
);
create table shop.audit (note text, at timestamptz default '2024-01-01');
insert into shop.customer (name, "end;") values
    ('O''Brien;', null), (E'tab\there', '\.'), (E'new\nline', E'\\.\n\\.'), ('commit;', '-- x');
insert into shop.audit (note) values ('\i file'), ('$$'), (E'\n\\.\n'), ('');
create rule note as on update to shop.customer do also
    (insert into shop.audit values ('a;'); delete from shop.audit where note = ';');
create function shop.sql_body(a int) returns int
begin atomic
    select case when a > 1 then (select count(*) from shop.customer) else 2 end;
    select case a when 2 then 3 end;
end;
create procedure shop.add(what text) begin atomic insert into shop.audit (note) values (what); end;
create function shop.quoted() returns text language plpgsql as $body$
begin
    execute $$ select ';' $$;
    return 'it''s; $' || E'\';';
end
$body$;
create view shop.names as select name as "begin", 'end;' as "case" from shop.customer;
comment on view shop.names is 'a; -- b /* c';
