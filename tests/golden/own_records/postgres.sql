SELECT concat('{"number":', (t0."number")::text, ',"status":', to_json(t0."status")::text, ',"gift":', CASE WHEN t0."gift" THEN 'true' WHEN NOT t0."gift" THEN 'false' ELSE 'null' END, ',"note":', coalesce(to_json(CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END)::text, 'null'), ',"total":', '{"amount":' || (t0."total")::text || ',"currency":"' || (t0."total_currency") || '"}', ',"goods":', '{"amount":' || ((SELECT coalesce(sum(s.v), 0)
      FROM (SELECT (t1."price" * t1."quantity") AS v
        FROM "order_items" AS t1
        WHERE t1."order_id" = t0."id") AS s))::text || ',"currency":"' || 'EUR' || '"}', '}'), (t0."placed_at")::text, (t0."id")::text
FROM "orders" AS t0
WHERE t0."customer_id" = $1::uuid
ORDER BY t0."placed_at" DESC, t0."id" DESC
LIMIT $2::bigint
