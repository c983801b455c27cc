SELECT concat('{"id":', '"' || (t0."id")::text || '"', ',"created_at":', '"' || to_char((t0."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"updated_at":', '"' || to_char((t0."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"', ',"name":', to_json(t0."name")::text, ',"internal":', CASE WHEN t0."internal" THEN 'true' WHEN NOT t0."internal" THEN 'false' ELSE 'null' END, '}'), (t0."id")::text
FROM "labels" AS t0
WHERE t0."internal" <> $1::boolean
ORDER BY t0."id"
LIMIT $2::bigint
