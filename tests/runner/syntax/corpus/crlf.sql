select 1;
-- comment ;
select E'a\';'
;
copy t from stdin;
1	2
\.
select 3
