-- What was bought: an order of a customer, its lines at the price of that day.
-- runner: allow prefer-bigint-over-int: a line of an order never counts two billion pieces

create table customer_order (
    order_id bigint generated always as identity,
    customer_id bigint not null,
    ordered_at timestamptz not null default now(),
    constraint customer_order_pkey primary key (order_id),
    constraint customer_order_customer_fkey
        foreign key (customer_id) references customer (customer_id)
);

create index customer_order_customer_idx on customer_order (customer_id);

create table order_line (
    order_id bigint not null,
    product_id bigint not null,
    quantity integer not null,
    price_cents bigint not null,
    constraint order_line_pkey primary key (order_id, product_id),
    constraint order_line_order_fkey
        foreign key (order_id) references customer_order (order_id) on delete cascade,
    constraint order_line_product_fkey foreign key (product_id) references product (product_id),
    constraint order_line_quantity_positive check (quantity > 0)
);

create index order_line_product_idx on order_line (product_id);

comment on table customer_order is 'what was bought, by whom, when';
comment on table order_line is 'the products of an order, at the price of that day';
