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
CREATE TABLE review (
    id uuid PRIMARY KEY, author_id uuid NOT NULL REFERENCES customer, product_id uuid NOT NULL REFERENCES product,
    stars integer NOT NULL, text text NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL
);
CREATE INDEX ON review (product_id);
CREATE INDEX ON review (author_id);
CREATE FUNCTION purchase(buyer uuid, made uuid, lines uuid[], products uuid[], quantities integer[]) RETURNS orders AS $$
DECLARE
    bought orders;
    cost bigint;
    sum bigint := 0;
    costs bigint[];
BEGIN
    FOR place IN 1 .. cardinality(products) LOOP
        UPDATE product SET stock = stock - quantities[place], updated_at = now()
        WHERE id = products[place] AND stock >= quantities[place] RETURNING price * quantities[place] INTO cost;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'out of stock' USING ERRCODE = 'P0001';
        END IF;
        costs[place] := cost;
        sum := sum + cost;
    END LOOP;
    INSERT INTO orders VALUES (made, buyer, 'paid', sum, now(), now()) RETURNING * INTO bought;
    INSERT INTO item SELECT line, made, product, quantity, price, now(), now()
    FROM unnest(lines, products, quantities, costs) AS l (line, product, quantity, price);
    RETURN bought;
END
$$ LANGUAGE plpgsql;
