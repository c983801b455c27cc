SELECT concat('{"number":', (t0."number")::text, ',"note":', coalesce(to_json(CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END)::text, 'null'), '}'), (t0."id")::text
FROM "orders" AS t0
WHERE CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END IS NOT NULL
ORDER BY t0."id"
LIMIT $2::bigint
