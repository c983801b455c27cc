CREATE TABLE category (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, slug TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE TABLE product (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, slug TEXT NOT NULL UNIQUE, description TEXT NOT NULL,
    price INTEGER NOT NULL, cost INTEGER NOT NULL, category_id TEXT NOT NULL REFERENCES category,
    stock INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX product_category_price ON product (category_id, price, id);
CREATE TABLE customer (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE TABLE orders (
    id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customer, status TEXT NOT NULL, total INTEGER NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX orders_customer_created ON orders (customer_id, created_at, id);
CREATE TABLE item (
    id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders, product_id TEXT NOT NULL REFERENCES product,
    quantity INTEGER NOT NULL, price INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX item_order ON item (order_id, id);
CREATE INDEX item_product ON item (product_id);
CREATE TABLE review (
    id TEXT PRIMARY KEY, author_id TEXT NOT NULL REFERENCES customer, product_id TEXT NOT NULL REFERENCES product,
    stars INTEGER NOT NULL, text TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX review_product ON review (product_id);
CREATE INDEX review_author ON review (author_id);
