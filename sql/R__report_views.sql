-- What the shop's report reads. Run again whenever this file changes.

create or replace view report_revenue as
select
    date_trunc('month', o.ordered_at) as month,
    p.sku,
    sum(l.quantity) as quantity,
    sum(l.quantity * l.price_cents) as revenue_cents
from customer_order as o
inner join order_line as l on l.order_id = o.order_id
inner join product as p on p.product_id = l.product_id
group by date_trunc('month', o.ordered_at), p.sku;

comment on view report_revenue is 'what was sold, by month and product';
