CREATE TABLE category (
    id uuid PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE product (
    id uuid PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE, description text NOT NULL,
    price bigint NOT NULL, cost bigint NOT NULL, category_id uuid NOT NULL REFERENCES category, stock integer NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX ON product (category_id, price, id);
CREATE TABLE customer (
    id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE TABLE orders (
    id uuid PRIMARY KEY, customer_id uuid NOT NULL REFERENCES customer, status text NOT NULL, total bigint NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX ON orders (customer_id, created_at, id);
CREATE TABLE item (
    id uuid PRIMARY KEY, order_id uuid NOT NULL REFERENCES orders, product_id uuid NOT NULL REFERENCES product,
    quantity integer NOT NULL, price bigint NOT NULL,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX ON item (order_id, id);
CREATE INDEX ON item (product_id);
