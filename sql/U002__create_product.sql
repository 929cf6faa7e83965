drop table product;
