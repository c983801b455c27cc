SELECT string_agg(j, chr(30)) FILTER (WHERE n < $4::bigint), count(*), max(k0) FILTER (WHERE n = $4::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"category":{"name":', to_json(t1."name"), ',"parent":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name"), '}') END, '}}') AS j, (t0."id")::text AS k0
    FROM "products" AS t0
    LEFT JOIN "categories" AS t1 ON t1."id" = t0."category_id"
    LEFT JOIN "categories" AS t2 ON t2."id" = t1."parent_id"
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at")
      AND t0."origin" = $3::text)
    ORDER BY t0."id"
    LIMIT $4::bigint) AS page) AS numbered
