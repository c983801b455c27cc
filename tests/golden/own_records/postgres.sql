SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1), max(k1) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"status":', to_json(t0."status"), ',"gift":', CASE WHEN t0."gift" THEN 'true' WHEN NOT t0."gift" THEN 'false' ELSE 'null' END, ',"note":', coalesce((to_json(CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END))::text, 'null'), ',"total":{"amount":', t0."total", ',"currency":"', t0."total_currency", '"},"goods":{"amount":', (SELECT coalesce(sum(s.v), 0)
        FROM (SELECT (t1."price" * t1."quantity") AS v
          FROM "order_items" AS t1
          WHERE t1."order_id" = t0."id") AS s), ',"currency":"EUR"}}') AS j, (t0."placed_at")::text AS k0, (t0."id")::text AS k1
    FROM "orders" AS t0
    WHERE t0."customer_id" = $1::uuid
    ORDER BY t0."placed_at" DESC, t0."id" DESC
    LIMIT $2::bigint) AS page) AS numbered
