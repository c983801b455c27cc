SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1), max(k1) FILTER (WHERE n = $3::bigint - 1), (SELECT count(*)
  FROM "products" AS t1
  WHERE (t1."state" = $5::text
    AND (t1."released_at" IS NULL
      OR $2::timestamptz >= t1."released_at")))
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), '}') AS j, (t0."name")::text AS k0, (t0."id")::text AS k1
    FROM "products" AS t0
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at"))
    ORDER BY t0."name", t0."id"
    LIMIT $3::bigint OFFSET $4::bigint) AS page) AS numbered
