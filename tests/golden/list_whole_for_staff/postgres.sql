SELECT string_agg(j, chr(30)) FILTER (WHERE n < $1::bigint), count(*), max(k0) FILTER (WHERE n = $1::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"id":"', t0."id", '","created_at":"', to_char((t0."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","updated_at":"', to_char((t0."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","name":', to_json(t0."name"), ',"internal":', CASE WHEN t0."internal" THEN 'true' WHEN NOT t0."internal" THEN 'false' ELSE 'null' END, '}') AS j, (t0."id")::text AS k0
    FROM "labels" AS t0
    ORDER BY t0."id"
    LIMIT $1::bigint) AS page) AS numbered
