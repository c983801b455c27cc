SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"items":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"price":{"amount":', t1."price", ',"currency":"EUR"},"product":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name"), '}') END, '}') AS j
          FROM "order_items" AS t1
          LEFT JOIN "products" AS t2 ON t2."id" = t1."product_id"
          AND (t2."state" = $1::text
            AND (t2."released_at" IS NULL
              OR $2::timestamptz >= t2."released_at"))
          WHERE t1."order_id" = t0."id"
          AND t0."customer_id" = $3::uuid
          ORDER BY t1."id"
          LIMIT $4::bigint) AS rows), '}') AS j, (t0."id")::text AS k0
    FROM "orders" AS t0
    WHERE (t0."customer_id" = $3::uuid
      AND t0."number" = $5::bigint)
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
