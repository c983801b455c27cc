SELECT string_agg(j, chr(30)) FILTER (WHERE n < $5::bigint), count(*), max(k0) FILTER (WHERE n = $5::bigint - 1), max(k1) FILTER (WHERE n = $5::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"items":', (SELECT concat('[', string_agg(j, ','), ']')
        FROM (SELECT concat('{"quantity":', t1."quantity", ',"product":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name"), ',"category":{"name":', to_json(t3."name"), '}}') END, '}') AS j
          FROM "order_items" AS t1
          LEFT JOIN "products" AS t2 ON t2."id" = t1."product_id"
          AND (t2."state" = $1::text
            AND (t2."released_at" IS NULL
              OR $2::timestamptz >= t2."released_at"))
          LEFT JOIN "categories" AS t3 ON t3."id" = t2."category_id"
          WHERE t1."order_id" = t0."id"
          AND t0."customer_id" = $3::uuid
          ORDER BY t1."price" DESC, t1."id" DESC
          LIMIT $4::bigint) AS rows), '}') AS j, (t0."number")::text AS k0, (t0."id")::text AS k1
    FROM "orders" AS t0
    WHERE t0."customer_id" = $3::uuid
    ORDER BY t0."number" DESC, t0."id" DESC
    LIMIT $5::bigint) AS page) AS numbered
