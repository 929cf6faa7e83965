-- Who buys from us.

create table customer (
    customer_id bigint generated always as identity,
    email text not null,
    name text not null,
    created_at timestamptz not null default now(),
    constraint customer_pkey primary key (customer_id),
    constraint customer_email_key unique (email),
    constraint customer_email_valid check (email like '%_@_%')
);

comment on table customer is 'who buys from us';
