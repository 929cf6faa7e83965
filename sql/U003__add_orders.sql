-- The report rests on these tables; it comes back with the next migrate.
drop view if exists report_revenue;
drop table order_line;
drop table customer_order;
