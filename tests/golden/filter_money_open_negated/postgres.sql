SELECT string_agg(j, chr(30)) FILTER (WHERE n < $6::bigint), count(*), max(k0) FILTER (WHERE n = $6::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"deposit":', CASE WHEN t0."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t0."deposit", ',"currency":"', t0."deposit_currency", '"}') END, '}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."kind" = $3::text
      AND (NOT coalesce(t0."deposit_currency" = $4::text, FALSE)
        OR NOT coalesce(t0."deposit" >= $5::bigint, FALSE)))
    ORDER BY t0."id"
    LIMIT $6::bigint) AS page) AS numbered
