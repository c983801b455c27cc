SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1), max(k1) FILTER (WHERE n = $3::bigint - 1), max(k2) FILTER (WHERE n = $3::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"name":', to_json(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"},"category":{"name":', to_json(t3."name"), '}}') AS j, ((SELECT (SELECT t2."name"
          FROM "categories" AS t2
          WHERE t2."id" = t1."parent_id")
        FROM "categories" AS t1
        WHERE t1."id" = t0."category_id"))::text AS k0, (t0."price")::text AS k1, (t0."id")::text AS k2
    FROM "products" AS t0
    LEFT JOIN "categories" AS t3 ON t3."id" = t0."category_id"
    WHERE (t0."state" = $1::text
      AND (t0."released_at" IS NULL
        OR $2::timestamptz >= t0."released_at"))
    ORDER BY (SELECT (SELECT t2."name"
        FROM "categories" AS t2
        WHERE t2."id" = t1."parent_id")
      FROM "categories" AS t1
      WHERE t1."id" = t0."category_id"), t0."price" DESC, t0."id" DESC
    LIMIT $3::bigint) AS page) AS numbered
