SELECT concat('{"number":', (t0."number")::text, ',"total":', '{"amount":' || (t0."total")::text || ',"currency":"' || (t0."total_currency") || '"}', '}'), (t0."id")::text
FROM "orders" AS t0
WHERE (t0."total_currency" = $1::text
  AND t0."total" > $2::bigint)
ORDER BY t0."id"
LIMIT $3::bigint
