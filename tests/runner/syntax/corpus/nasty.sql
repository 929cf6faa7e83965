/* /* nested ; */ ' ; */ SELECT '\'; -- it's
select 'C:\' as path, '\\server' like '\\%' escape '\';
select E'\'; commit; --', e'\\';
select E'continued' -- ' ;
  'and; on';
select U&'\0041;', N';', B'1', x'F', "a"";b", U&"\0041;";
select $$ ; ' -- /* $$, $a$ $$; $b$ $A$ $a$, $größe$ ; $größe$;
select x$$, a$1, 1::int, a[1:2], :name, :'name', %s, ?, ${not}, $1, '50%', a ? 'b', #c, `d`;
select 1 */* ; /* ; */ */ 2, 3 +-- ;
  4, 5 - -6, 7 / 8, a->>'x', a @> b, a #- b, a <-> b;
;; /* empty */ ; -- ;
create rule "one;two" as on insert to t do also (insert into u values (';'); delete from u;);
create function atomic(begin int, a int default (1)) returns int
begin atomic
    select case when a > 1 then case a when 2 then 3 else 4 end end;
    select 'end;', $$end;$$ /* end; */; -- end;
end;
CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END;
create function f() returns trigger language plpgsql as $body$
begin
    if new.a then raise notice 'a;'; end if;
    execute $$ select 1; $$;
    return new;
end
$body$;
do 'begin perform 1; end';
copy t (a, b) from stdin with (format csv);
"a;
b",'begin;
\.x
\.
copy (select ';') to '/dev/null';
select ' ' as "no-break", 'line
separated' from "begin", "end";
 select 1 as last -- no semicolon
