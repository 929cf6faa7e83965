-- What we sell. Prices are whole cents, so that no sum is ever rounded.

create table product (
    product_id bigint generated always as identity,
    sku text not null,
    name text not null,
    price_cents bigint not null,
    constraint product_pkey primary key (product_id),
    constraint product_sku_key unique (sku),
    constraint product_price_positive check (price_cents > 0)
);

comment on table product is 'what we sell';

insert into product (sku, name, price_cents)
values
    ('TEA-250', 'Green tea, 250 g', 890),
    ('CUP-01', 'Cup, white', 1250);
