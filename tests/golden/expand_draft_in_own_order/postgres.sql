SELECT concat('{"number":', (t0."number")::text, ',"items":', (SELECT concat('[', string_agg(j, ','), ']')
    FROM (SELECT concat('{"price":', '{"amount":' || (t1."price")::text || ',"currency":"' || 'EUR' || '"}', ',"product":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name")::text, '}') END, '}') AS j
      FROM "order_items" AS t1
      LEFT JOIN "products" AS t2 ON t2."id" = t1."product_id"
      AND (t2."state" = $1::text
        AND (t2."released_at" IS NULL
          OR $2::timestamptz >= t2."released_at"))
      WHERE t1."order_id" = t0."id"
      AND t0."customer_id" = $3::uuid
      ORDER BY t1."id"
      LIMIT $4::bigint) AS rows), '}'), (t0."id")::text
FROM "orders" AS t0
WHERE (t0."customer_id" = $3::uuid
  AND t0."number" = $5::bigint)
ORDER BY t0."id"
LIMIT $6::bigint
