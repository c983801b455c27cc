SELECT concat('{"product":{"category":{"name":', coalesce((to_json(x.g0))::text, 'null'), '}},"avg":{"stars":', coalesce((x.m0)::text, 'null'), '},"count":', coalesce((x.m1)::text, 'null'), '}')
FROM (SELECT (SELECT (SELECT t3."name"
      FROM "categories" AS t3
      WHERE t3."id" = t2."category_id")
    FROM "products" AS t2
    WHERE t2."id" = t0."product_id"
    AND (t2."state" = $1::text
      AND (t2."released_at" IS NULL
        OR $2::timestamptz >= t2."released_at"))) AS g0, ((sum(t0."stars"))::float8 / (count(t0."stars"))) AS m0, count(*) AS m1
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> $3::boolean
    AND NOT (t0."product_id" IN (SELECT t1."id"
        FROM "products" AS t1
        WHERE (t1."state" = $4::text
          AND (t1."released_at" IS NULL
            OR $2::timestamptz >= t1."released_at")
          AND t1."kind" = $5::text))))
  GROUP BY 1) AS x
ORDER BY x.m0 DESC, x.g0
LIMIT $6::bigint
