SELECT string_agg(j, chr(30)) FILTER (WHERE n < $2::bigint), count(*), max(k0) FILTER (WHERE n = $2::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"id":"', t0."id", '","created_at":"', to_char((t0."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","updated_at":"', to_char((t0."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","name":', to_json(t0."name"), ',"slug":"', t0."slug", '","parent":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"id":"', t1."id", '","created_at":"', to_char((t1."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","updated_at":"', to_char((t1."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","name":', to_json(t1."name"), ',"slug":"', t1."slug", '","parent":', CASE WHEN t1."parent_id" IS NULL THEN 'null' ELSE concat('"', t1."parent_id", '"') END, '}') END, '}') AS j, (t0."id")::text AS k0
    FROM "categories" AS t0
    LEFT JOIN "categories" AS t1 ON t1."id" = t0."parent_id"
    WHERE t0."slug" = $1::text
    ORDER BY t0."id"
    LIMIT $2::bigint) AS page) AS numbered
